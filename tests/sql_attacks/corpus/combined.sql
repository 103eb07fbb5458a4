-- a view's column of the same name in both schemas, joined
SELECT count(*) FROM task NATURAL JOIN main.task
;;
-- a join of a view with its hidden columns by row number
-- expect: error
SELECT count(*) FROM task a JOIN task b USING (rowid)
;;
-- USING over an own view and a CTE that is called as it
-- expect: own
WITH x(title) AS (SELECT title FROM task) SELECT title FROM x FULL JOIN task USING (title) ORDER BY 1
;;
-- a natural join of all the own tables
-- expect: own
SELECT count(*) FROM task NATURAL JOIN category NATURAL JOIN project
;;
-- a table function's hidden columns by USING
-- expect: own
SELECT count(*) FROM (SELECT '[1,2]' AS json) JOIN json_each USING (json)
;;
-- a table function in a natural full join
SELECT * FROM (SELECT 1 AS value) NATURAL FULL JOIN json_each('[1,2]')
;;
-- an IN over a table's name with as many columns as the view
-- expect: error
SELECT count(*) FROM project WHERE (id, name, secret, version, created, updated) IN {rows}
;;
-- an IN over the own view's name
-- expect: own
SELECT count(*) FROM category WHERE (id, label, version, created, updated) IN category
;;
-- an aggregate of an outer query within a subquery
-- expect: own
SELECT (SELECT count(task.title) FROM category) FROM task
;;
-- a join whose condition reaches to the left of it
-- expect: own
SELECT count(*) FROM task a, (SELECT * FROM task b WHERE b.title >= 'a') c WHERE a.id = c.id
;;
-- DISTINCT over an index that others fill
-- expect: own
SELECT DISTINCT status FROM task ORDER BY status
;;
-- whether there is anything greater than the greatest
-- expect: own
SELECT count(*) FROM task WHERE title > (SELECT max(title) FROM task)
;;
-- a compound in a compound with an order of its own
-- expect: own
SELECT * FROM (SELECT title FROM task ORDER BY title DESC LIMIT 2) UNION ALL SELECT * FROM (SELECT name FROM project LIMIT 1 OFFSET 5) ORDER BY 1
;;
-- lists that the planner makes an index of
-- expect: own
SELECT count(*) FROM task a JOIN (SELECT value AS title FROM json_each('["paint","dig"]')) b USING (title)
;;
-- two lists joined without an index, which SQLite would make
SELECT count(*) FROM json_each('[1,2,3]') a JOIN json_each('[2,3,4]') b ON a.value = b.value
;;
-- what is not among the own ones
-- expect: own
SELECT name FROM project WHERE id NOT IN (SELECT project_id FROM task WHERE project_id IS NOT NULL)
;;
-- what is not among the own ones, by its id
-- expect: own
SELECT title FROM task WHERE id NOT IN (SELECT id FROM task WHERE status = 'done') ORDER BY title
;;
-- records by a list of own ones
-- expect: own
SELECT label FROM category WHERE id IN (SELECT category_id FROM task) ORDER BY 1
;;
-- a column of the view that is made by a function, searched by another tenant's time
-- expect: own
SELECT title FROM task WHERE due LIKE '2071%' OR created > '2071'
;;
-- a hint that a term is always true, over all tenants' order
-- expect: own
SELECT title FROM task WHERE likely(due > '1970') ORDER BY due DESC, title LIMIT 3
;;
-- the same column three times, and once under the name of another one
-- expect: own
SELECT id, id, title AS id, id AS title FROM task ORDER BY 1
;;
-- an order by a number beyond the columns
-- expect: error
SELECT title FROM task ORDER BY 3
;;
-- a table that is named by a column's schema
-- expect: error
SELECT _user.id FROM task
;;
-- a hidden table named in ON alone
-- expect: error
SELECT count(*) FROM task JOIN project ON _user.name = task.title
;;
-- a subquery in LIMIT over what may not be read
-- expect: error
SELECT title FROM task LIMIT (SELECT count(*) FROM _user)
;;
-- a subquery in a window's frame
SELECT sum(amount) OVER (ORDER BY id ROWS (SELECT 2) PRECEDING) FROM task
;;
-- a subquery in GROUP BY over what may not be read
-- expect: error
SELECT count(*) FROM task GROUP BY (SELECT max(key) FROM _tenant)
;;
-- a value from what may not be read, in VALUES
-- expect: error
VALUES ((SELECT hex(hash) FROM _log_head))
;;
-- a filter within an aggregate over what may not be read
-- expect: error
SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM _organization)) FROM task
;;
