-- the own view's name for another table
-- expect: error
WITH task AS (SELECT * FROM {rows}) SELECT * FROM task
;;
-- materialized
-- expect: error
WITH task AS MATERIALIZED (SELECT title FROM main.{rows}) SELECT title FROM task
;;
-- recursive, of its own name
-- expect: error
WITH RECURSIVE task AS (SELECT title FROM {rows} UNION ALL SELECT title FROM task LIMIT 5) SELECT * FROM task
;;
-- three deep
-- expect: error
WITH a AS (WITH b AS (WITH task AS (SELECT * FROM {rows}) SELECT * FROM task) SELECT * FROM b) SELECT * FROM a
;;
-- in a scalar subquery
-- expect: error
SELECT (WITH task AS (SELECT group_concat(title) AS all_titles FROM {rows}) SELECT all_titles FROM task)
;;
-- in a compound's second half
-- expect: error
SELECT title FROM task UNION ALL SELECT * FROM (WITH task AS (SELECT title FROM {rows}) SELECT title FROM task)
;;
-- the name as an alias of a subquery
-- expect: error
SELECT * FROM (SELECT * FROM {rows}) AS task
;;
-- the name as an alias of the table
-- expect: error
SELECT * FROM {rows} AS task
;;
-- the view for people under the own name
-- expect: error
WITH mine AS (SELECT * FROM main.task) SELECT * FROM mine
;;
-- a name that looks like a hidden view's
-- expect: error
WITH "_ffffffffffffffffffffffffffffffff_task" AS (SELECT * FROM {rows}) SELECT * FROM "_ffffffffffffffffffffffffffffffff_task"
;;
-- another entity's view as the reader of this one's table
-- expect: error
WITH project AS (SELECT title FROM {rows}) SELECT title FROM project
;;
-- the log's name
-- expect: error
WITH audit AS (SELECT * FROM _audit) SELECT action FROM audit
;;
-- users under a name that may read them
-- expect: error
WITH audit AS (SELECT id FROM _user) SELECT id FROM audit
;;
-- a CTE that shadows the own view, harmless
-- expect: own
WITH task(title) AS (VALUES ('shadow')) SELECT title FROM task
;;
-- a CTE that shadows the own view and reads it by its schema
-- expect: own
WITH task AS (SELECT title FROM temp.task) SELECT title FROM task ORDER BY 1
;;
-- a CTE called as a table of the schema
WITH sqlite_schema AS (SELECT 1 AS sql) SELECT sql FROM sqlite_schema
;;
-- a CTE called as a physical table
WITH {rows} AS (SELECT 'x' AS title) SELECT title FROM {rows}
;;
-- a CTE called as a physical table, counted
WITH {rows} AS (VALUES (1), (2)) SELECT count(*) FROM {rows}
;;
-- a CTE called as a pragma
WITH pragma_table_list AS (SELECT 1 AS name) SELECT count(*) FROM pragma_table_list
;;
-- a CTE that is not used but reads what it may not
WITH unused AS (SELECT * FROM {rows}) SELECT title FROM task ORDER BY 1
;;
-- columns renamed, so that no name is left
-- expect: error
WITH task(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p) AS (SELECT * FROM {rows}) SELECT a FROM task
;;
