-- the schema's text
-- expect: error
SELECT sql FROM sqlite_schema
;;
-- in the temporary schema, where the hidden views are
-- expect: error
SELECT name, sql FROM sqlite_temp_schema
;;
-- by its older name in its schema
-- expect: error
SELECT sql FROM temp.sqlite_temp_master
;;
-- in capitals and brackets
-- expect: error
SELECT count(*) FROM [MAIN].[SQLITE_MASTER]
;;
-- how many tables there are, without a column
-- expect: error
SELECT 1 FROM sqlite_schema LIMIT 1
;;
-- whether there is a table, in a subquery
-- expect: error
SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name LIKE '!_rows%' ESCAPE '!')
;;
-- the schema by its root page
-- expect: error
SELECT rootpage FROM main.sqlite_schema ORDER BY rowid
;;
-- the physical table
-- expect: error
SELECT * FROM {rows}
;;
-- in its schema
-- expect: error
SELECT title FROM main.{rows}
;;
-- counted
-- expect: error
SELECT count(*) FROM {rows}
;;
-- joined to the own rows, without a column of it
-- expect: error
SELECT count(*) FROM task CROSS JOIN {rows}
;;
-- on the right of an outer join
-- expect: error
SELECT count(*) FROM task FULL JOIN {rows} USING (title)
;;
-- in a natural join
-- expect: error
SELECT * FROM task NATURAL JOIN {rows}
;;
-- as a row's source of IN
-- expect: error
SELECT 1 WHERE 'x' IN {rows}
;;
-- through its index
-- expect: error
SELECT title FROM {rows} INDEXED BY _id_task WHERE _tenant > 0
;;
-- the view for people that shows every owner
-- expect: error
SELECT * FROM main.task
;;
-- the same, counted
SELECT count(*) FROM main.task
;;
-- the same, in capitals and quotes
SELECT count(*) FROM "Main"."Task"
;;
-- its rows joined with the own ones of the same name
SELECT count(*) FROM task JOIN main.task AS everybody
;;
-- who exists
-- expect: error
SELECT id, name FROM _user
;;
-- which organizations exist
-- expect: error
SELECT count(*) FROM _organization
;;
-- memberships
-- expect: error
SELECT * FROM main._member
;;
-- what tenants have
-- expect: error
SELECT tenant, count FROM _row_head
;;
-- the store itself
-- expect: error
SELECT hex(device) FROM _store
;;
-- definitions of all entities
-- expect: error
SELECT definition FROM _entity
;;
-- everybody's log
-- expect: error
SELECT body FROM _audit
;;
-- statistics
-- expect: error
SELECT sample FROM sqlite_stat4
;;
-- statistics, counted
-- expect: error
SELECT count(*) FROM sqlite_stat1
;;
-- a sequence that all tables share
-- expect: error
SELECT seq FROM sqlite_sequence
;;
-- an entity that only other sessions read
-- expect: error
-- in: user
SELECT * FROM note
;;
-- an entity of a user's own, from within an organization
-- expect: error
-- in: organization
SELECT * FROM diary
;;
-- the owner's column of a view
-- expect: error
SELECT _tenant FROM task
;;
-- the row's number, which holds the tenant
-- expect: error
SELECT rowid, title FROM task
;;
-- the number by its other names, qualified
-- expect: error
SELECT task.oid, task._rowid_ FROM temp.task
;;
-- stored columns behind the shown ones
-- expect: error
SELECT _id, _updated FROM task
;;
-- a column with its schema
-- expect: error
SELECT main.task.title FROM task
;;
-- a table that is mistyped, for a hint at one that is there
-- expect: error
SELECT * FROM taks
;;
-- a schema that is not there
-- expect: error
SELECT * FROM backup.task
;;
-- an index called as a table
-- expect: error
SELECT * FROM _id_task
;;
-- an index called as a table, counted
-- expect: error
SELECT count(*) FROM "_id_task"
;;
-- an automatic index called as a table
-- expect: error
SELECT count(*) FROM sqlite_autoindex__audit_1
;;
-- a name that looks like a hidden view's
-- expect: error
SELECT * FROM temp."_00000000000000000000000000000000_task"
;;
