-- all columns of the own view
-- expect: own
SELECT * FROM task ORDER BY id
;;
-- everything, of every entity
-- expect: own
SELECT t.*, p.*, c.* FROM task t LEFT JOIN project p ON p.id = t.project_id LEFT JOIN category c ON c.id = t.category_id ORDER BY t.id
;;
-- the view in its own schema
-- expect: own
SELECT temp.task.title FROM temp.task ORDER BY 1
;;
-- neighbours in a window, which in an index would be others'
-- expect: own
SELECT title, lag(title) OVER w, lead(title) OVER w, first_value(title) OVER w, last_value(title) OVER w FROM task WINDOW w AS (ORDER BY title) ORDER BY title
;;
-- a neighbour far away
-- expect: own
SELECT lead(title, 1000, 'none') OVER (ORDER BY id), nth_value(title, 7) OVER (ORDER BY id) FROM task ORDER BY id
;;
-- ranks, which count
-- expect: own
SELECT row_number() OVER (ORDER BY amount), rank() OVER (ORDER BY status), percent_rank() OVER (ORDER BY title), ntile(3) OVER (ORDER BY id) FROM task ORDER BY 1
;;
-- a frame beyond all rows
-- expect: own
SELECT group_concat(title, ',') OVER (ORDER BY title ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE TIES) FROM task
;;
-- groups in a frame
-- expect: own
SELECT count(*) OVER (ORDER BY status GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) FROM task ORDER BY 1
;;
-- a range by a number
-- expect: own
SELECT sum(amount) OVER (ORDER BY amount RANGE BETWEEN 1000000 PRECEDING AND 1000000 FOLLOWING) FROM task ORDER BY 1
;;
-- a window over no order and a filter
-- expect: own
SELECT count(*) FILTER (WHERE title LIKE '{canary}%') OVER () FROM task
;;
-- pairs by an outer join without a condition that holds
-- expect: own
SELECT a.title, b.name FROM task a FULL OUTER JOIN project b ON 0 ORDER BY 1, b.name
;;
-- pairs by name of columns
-- expect: own
SELECT count(*) FROM task NATURAL JOIN project
;;
-- what is not in the own rows
-- expect: own
SELECT title FROM task EXCEPT SELECT title FROM task WHERE title < '{canary}'
;;
-- the own rows as a list of IN
-- expect: own
SELECT count(*) FROM task WHERE (title, id) IN (SELECT title, id FROM task)
;;
-- a correlated subquery that reaches out of the view
-- expect: own
SELECT (SELECT count(*) FROM task b WHERE b.title >= a.title) FROM task a ORDER BY 1
;;
-- an index named by the tenant
-- expect: error
SELECT title FROM task INDEXED BY _id_task WHERE id = '{foreign}'
;;
-- no index
SELECT title FROM task NOT INDEXED ORDER BY title
;;
-- joins in the order that is written
-- expect: own
SELECT count(*) FROM category CROSS JOIN task CROSS JOIN project WHERE task.project_id = project.id
;;
-- a bare column beside an aggregate: of any row, but of the own ones
-- expect: own
SELECT title, max(amount) FROM task
;;
-- rows in groups of groups
-- expect: own
SELECT status, group_concat(title, '; ' ORDER BY title DESC), json_group_object(title, amount) FROM task GROUP BY status HAVING count(*) >= 1 ORDER BY status
;;
-- a recursive walk over references, from another tenant's record
-- expect: own
WITH RECURSIVE walk(id) AS (SELECT '{foreign_project}' UNION SELECT t.id FROM task t JOIN walk ON t.project_id = walk.id) SELECT count(*) FROM walk JOIN task USING (id)
;;
-- a row value's comparison over whole rows
-- expect: own
SELECT count(*) FROM task a, task b WHERE (a.id, a.title) < (b.id, b.title)
;;
-- an expression as wide as the table, by a star in a subquery
-- expect: error
SELECT count(*) FROM task WHERE (SELECT * FROM task LIMIT 1) = 'x'
;;
-- secrets of one's own are one's own
-- expect: own
SELECT secret FROM task ORDER BY id
;;
