-- an overflow where a text begins as another tenant's
-- expect: own
SELECT title FROM task WHERE CASE WHEN title LIKE '{canary}%' THEN abs(-9223372036854775808) ELSE 1 END ORDER BY title
;;
-- broken JSON where it does
-- expect: own
SELECT count(*) FROM task WHERE CASE WHEN substr(title, 1, 2) = substr('{canary}', 1, 2) THEN json('{') ELSE 1 END
;;
-- an overflow in the order
-- expect: own
SELECT title FROM task ORDER BY CASE WHEN title >= '{canary}' AND title < '{canary}~' THEN abs(-9223372036854775808) ELSE title END
;;
-- an overflow in a group
-- expect: own
SELECT count(*) FROM task GROUP BY CASE WHEN title GLOB '{canary}*' THEN abs(-9223372036854775808) ELSE status END ORDER BY 1
;;
-- in a join's condition, with the table that has no rows for it
-- expect: own
SELECT count(*) FROM task a JOIN task b ON a.id = b.id AND CASE WHEN b.secret LIKE '{canary}%' THEN abs(-9223372036854775808) ELSE 1 END
;;
-- on the nullable side of an outer join
-- expect: own
SELECT count(*) FROM project p LEFT JOIN task t ON t.project_id = p.id AND CASE WHEN t.title LIKE '{canary}%' THEN json('[') ELSE 1 END
;;
-- on the right side
-- expect: own
SELECT count(*) FROM category c RIGHT JOIN task t ON CASE WHEN t.status LIKE '{canary}%' THEN json('[') ELSE 0 END
;;
-- before the tenant is compared: a term that the planner may push down and that is cheap
-- expect: own
SELECT title FROM (SELECT * FROM task LIMIT -1 OFFSET 0) WHERE CASE WHEN title LIKE '{canary}%' THEN abs(-9223372036854775808) ELSE 1 END ORDER BY 1
;;
-- in a window's frame
-- expect: own
SELECT sum(CASE WHEN title LIKE '{canary}%' THEN abs(-9223372036854775808) ELSE 1 END) OVER (ORDER BY id ROWS 2 PRECEDING) FROM task
;;
-- in an aggregate's filter
-- expect: own
SELECT count(*) FILTER (WHERE CASE WHEN payload > x'00' AND hex(payload) LIKE hex('{canary}') || '%' THEN json('x') ELSE 1 END) FROM task
;;
-- on the other tenant's id
-- expect: own
SELECT count(*) FROM task WHERE CASE WHEN id = '{foreign}' THEN abs(-9223372036854775808) ELSE 1 END
;;
-- by the index over ids
-- expect: own
SELECT title FROM task WHERE id = '{foreign}'
;;
-- whether another tenant's id exists
-- expect: own
SELECT EXISTS (SELECT 1 FROM task WHERE id IN ('{foreign}', '{own}')), EXISTS (SELECT 1 FROM project WHERE id = '{foreign_project}')
;;
-- a range of ids around another tenant's
-- expect: own
SELECT count(*) FROM task WHERE id BETWEEN substr('{foreign}', 1, 8) AND '{foreign}' || '~' AND id NOT IN (SELECT id FROM task)
;;
-- by the unique set
-- expect: own
SELECT title FROM task WHERE code = '{canary}' OR code LIKE '{canary}%'
;;
-- rows of another tenant that refer to another tenant's record
-- expect: own
SELECT t.title, p.name FROM task t JOIN project p ON p.id = t.project_id WHERE p.id = '{foreign_project}' OR t.project_id = '{foreign_project}'
;;
-- a division of another tenant's amounts
-- expect: own
SELECT sum(amount), total(amount), avg(amount), min(amount), max(amount) FROM task
;;
-- sums that overflow only with others' rows
-- expect: own
SELECT sum(9223372036854775807 / 10) FROM task
;;
-- an aggregate of everything there is
-- expect: own
SELECT count(*), count(DISTINCT title), length(group_concat(title || status || secret)) FROM task
;;
-- an error that holds a value
SELECT json_extract(title, '$.' || title) FROM task
;;
-- a path that holds a value
SELECT json_extract('{}', title) FROM task
;;
-- an error of a pattern that holds a value
SELECT title LIKE 'x' ESCAPE title FROM task
;;
-- a likelihood that is no constant
-- expect: error
SELECT likelihood(title = 'x', amount) FROM task
;;
-- a frame that is computed from values
SELECT sum(amount) OVER (ORDER BY id ROWS amount PRECEDING) FROM task
;;
-- a limit that is computed from other rows
-- expect: own
SELECT title FROM task ORDER BY title LIMIT (SELECT count(*) FROM task WHERE title LIKE '{canary}%')
;;
-- a common part of own and others' texts
-- expect: own
SELECT title FROM task INTERSECT SELECT title FROM task WHERE title >= '{canary}'
;;
-- a row value compared across an index
-- expect: own
SELECT count(*) FROM task WHERE (status, due) > ('{canary}', '1900') AND CASE WHEN status GLOB '{canary}*' THEN json('{') ELSE 1 END
;;
-- an IN list over the index's second column, with expressions that fail
-- expect: own
SELECT count(*) FROM task WHERE status IN ('open', '{canary}') AND CASE WHEN title LIKE '{canary}%' THEN json('{') ELSE 1 END
;;
-- many terms of OR, each by an index
-- expect: own
SELECT count(*) FROM task WHERE title = '{canary}' OR amount > 700000 OR code >= '{canary}' OR status = '{canary}'
;;
-- text made of a value that is too long only for others
-- expect: own
SELECT count(*) FROM task WHERE length(printf('%.*c', CASE WHEN title LIKE '{canary}%' THEN 900000000 ELSE 1 END, 'x')) > 0
;;
-- hex, nullif and iif on what only others have
-- expect: own
SELECT count(*) FROM task WHERE iif(title GLOB '{canary}*', json('{'), 1) AND nullif(hex(secret), '00') IS NULL
;;
-- how the reference's rows are used by others
-- expect: own
SELECT c.label, (SELECT count(*) FROM task t WHERE t.category_id = c.id) FROM category c ORDER BY 1
;;
