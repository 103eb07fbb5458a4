-- the plan, with names of what is hidden
-- expect: error
EXPLAIN QUERY PLAN SELECT * FROM task
;;
-- the bytecode, with root pages and the tenant as a number
-- expect: error
EXPLAIN SELECT * FROM task
;;
-- in capitals behind a comment
-- expect: error
/* x */ explain /* y */ query -- z
 plan SELECT title FROM task WHERE title = 'x'
;;
-- a plan of a write
EXPLAIN DELETE FROM task
;;
-- a plan of a plan
-- expect: error
EXPLAIN EXPLAIN SELECT 1
;;
-- a plan of what may not be read
-- expect: error
EXPLAIN QUERY PLAN SELECT * FROM {rows}
;;
-- names of indexes in a plan of many branches
-- expect: own
SELECT title FROM task WHERE status = 'open' OR title = 'x' OR amount > 3 ORDER BY title
;;
-- a plan over a join, a subquery and a union
-- expect: own
SELECT p.name FROM project p WHERE EXISTS (SELECT 1 FROM task t WHERE t.project_id = p.id) UNION SELECT label FROM category ORDER BY 1
;;
-- a plan with an alias that is called as a physical table
SELECT "{rows}".title FROM task AS "{rows}" ORDER BY 1
;;
-- a plan with an alias that looks like an accepted step
SELECT x.title FROM task AS "x USING INDEX _id_task (_tenant=? AND _id=?)" JOIN task AS x USING (id) ORDER BY 1
;;
-- an alias that hides a scan from a guard that reads plans
SELECT count(*) FROM json_each('[1]') AS "main.{rows} USING INDEX _id_task (_tenant=?)"
;;
-- an alias that makes the plan's text look like a bloom filter
SELECT count(*) FROM json_each('[1]') AS "BLOOM FILTER ON x"
;;
-- the greatest value, for which SQLite looks at an index's end
-- expect: own
SELECT max(title) FROM task
;;
-- the least id
-- expect: own
SELECT min(id), max(id) FROM task
;;
-- an estimate of rows by unlikely terms
-- expect: own
SELECT title FROM task WHERE likelihood(title >= '{canary}', 0.000001) AND unlikely(amount > 0) ORDER BY title
;;
-- a skip of an index's first column
-- expect: own
SELECT title FROM task WHERE due IS NOT NULL ORDER BY due, title
;;
