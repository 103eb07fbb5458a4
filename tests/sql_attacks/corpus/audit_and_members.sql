-- the whole own log
-- expect: own
SELECT * FROM audit ORDER BY number
;;
-- the newest entries, for which SQLite reads the index's end
-- expect: own
SELECT max(number), count(*), min(clock) FROM audit
;;
-- entries beyond the range that is the tenant's
-- expect: own
SELECT count(*) FROM audit WHERE number < 0 OR number > 1000000
;;
-- numbers that wrap around into the next tenant's range
-- expect: own
SELECT action FROM audit WHERE number IN (-1, 1099511627775, 1099511627776, 9223372036854775807)
;;
-- who did what, of another tenant's record
-- expect: own
SELECT actor, action, changes FROM audit WHERE record = '{foreign}' OR changes LIKE '%{canary}%'
;;
-- an error on what only others' payloads hold
-- expect: own
SELECT count(*) FROM audit WHERE CASE WHEN changes LIKE '%{canary}%' THEN json('{') ELSE 1 END
;;
-- an error on other users' ids
-- expect: own
SELECT count(*) FROM audit WHERE CASE WHEN actor LIKE '{canary}%' THEN abs(-9223372036854775808) ELSE 1 END
;;
-- the stored key, sequence and hashes behind the log's columns
-- expect: error
SELECT key, seq FROM audit
;;
-- hashes and salts
-- expect: error
SELECT salt, hash FROM audit
;;
-- the log's row number, which is everybody's
-- expect: error
SELECT rowid FROM audit
;;
-- secrets in the log
-- expect: own
SELECT number, json_extract(changes, '$.secret') FROM audit WHERE entity = 'task' ORDER BY number
;;
-- the log joined to itself by users
-- expect: own
SELECT DISTINCT a.actor FROM audit a JOIN audit b ON a.actor = b.actor ORDER BY 1
;;
-- devices and clocks, which others' entries would raise
-- expect: own
SELECT device, clock, time FROM audit ORDER BY number LIMIT 3
;;
-- an organization's log from a user's own session
-- expect: error
-- in: user
SELECT * FROM private_audit
;;
-- members from a user's own session
-- expect: error
-- in: user
SELECT * FROM members
;;
-- members of this organization
-- expect: own
-- in: organization
SELECT user, name, role FROM members ORDER BY user
;;
-- members of another one
-- expect: own
-- in: organization
SELECT count(*) FROM members WHERE user = '{foreign_user}' OR name LIKE '{canary}%'
;;
-- an error on another organization's members
-- expect: own
-- in: organization
SELECT count(*) FROM members WHERE CASE WHEN name LIKE '{canary}%' THEN json('{') ELSE 1 END
;;
-- the members' copy by its row number, which it does not have
-- expect: error
-- in: organization
SELECT rowid FROM members
;;
-- the members' copy in the other schema
-- in: organization
SELECT * FROM main.members
;;
-- the other member's private notes
-- expect: own
-- in: organization
SELECT count(*), group_concat(text) FROM note
;;
-- the other member's private log
-- expect: own
-- in: organization
SELECT number, action, entity, changes FROM private_audit ORDER BY number
;;
-- whether a member's private notes refer to an organization's record
-- expect: own
-- in: organization
SELECT n.text, t.title FROM note n JOIN task t ON t.id = n.task_id ORDER BY 1
;;
-- an error in what a soft reference of others finds
-- expect: own
-- in: organization
SELECT count(*) FROM note WHERE CASE WHEN task_id = '{foreign}' THEN json('{') ELSE 1 END
;;
-- who wrote what, of the same organization and of the other one
-- expect: own
-- in: organization
SELECT DISTINCT author FROM task ORDER BY 1
;;
-- members joined to the log by their ids
-- expect: own
-- in: organization
SELECT m.user, count(a.number) FROM members m LEFT JOIN audit a ON a.actor = m.user GROUP BY m.user ORDER BY 1
;;
-- an organization by its name
SELECT * FROM organization
;;
-- users by their name
SELECT * FROM user
;;
