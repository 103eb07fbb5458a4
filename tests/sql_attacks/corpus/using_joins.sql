-- columns of USING, which SQLite does not ask the authorizer about: rows of a tenant, counted
-- expect: error
WITH x(_tenant) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)) SELECT _tenant, count(*) FROM x JOIN main.{rows} USING (_tenant) GROUP BY 1
;;
-- a record of another tenant, by its id
-- expect: error
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20), x(_tenant, _id) AS (SELECT i, '{foreign}' FROM n) SELECT _tenant FROM x JOIN main.{rows} USING (_tenant, _id)
;;
-- a natural join on the tenant alone
-- expect: error
SELECT count(*) FROM (SELECT 2 AS _tenant UNION ALL SELECT 3) NATURAL JOIN main.{rows}
;;
-- a natural join of the physical table with itself
-- expect: error
SELECT count(*) FROM main.{rows} AS a NATURAL JOIN main.{rows} AS b
;;
-- the value itself, by the column that a right join makes of both
-- expect: error
WITH x(_tenant, title) AS (VALUES (2, 'x')) SELECT title FROM x RIGHT JOIN main.{rows} USING (_tenant, title)
;;
-- the value itself, by a full join within an outer one
-- expect: error
SELECT title FROM (SELECT 2 AS _tenant, NULL AS title) FULL JOIN main.{rows} USING (_tenant, title)
;;
-- own rows beside others' of the same title
-- expect: error
SELECT count(*) FROM task JOIN {rows} USING (title)
;;
-- in a left join, whose match shows as no null
-- expect: error
WITH x(_tenant, _id) AS (VALUES (2, '{foreign}')) SELECT count(*) FROM x LEFT JOIN main.{rows} USING (_tenant, _id)
;;
-- users by their ids
-- expect: error
WITH x(id) AS (VALUES ('ada'), ('{foreign_user}{u+0057}k3j'), ('bob')) SELECT id FROM x JOIN main._user USING (id)
;;
-- everybody's log by its keys
-- expect: error
WITH x(key) AS (SELECT 2199023255553) SELECT count(*) FROM x JOIN main._audit USING (key)
;;
-- the schema by the names of its tables
-- expect: error
WITH x(name) AS (VALUES ('_user'), ('_rows_task')) SELECT name FROM x JOIN sqlite_schema USING (name)
;;
-- the schema in a natural join
-- expect: error
SELECT count(*) FROM (SELECT 'table' AS type) NATURAL JOIN main.sqlite_schema
;;
-- pragmas by a column of theirs
-- expect: error
SELECT count(*) FROM (SELECT 'main' AS schema) JOIN pragma_table_list USING (schema)
;;
-- pages of the file
-- expect: error
SELECT count(*) FROM (SELECT 1 AS pgno) JOIN sqlite_dbpage USING (pgno)
;;
-- sizes of tables
-- expect: error
SELECT count(*) FROM (SELECT '{rows}' AS name) JOIN dbstat USING (name)
;;
-- the plain view for people
-- expect: error
SELECT count(*) FROM (SELECT 'x' AS title) JOIN main.task USING (title)
;;
-- the reference's physical table, which is everybody's
SELECT count(*) FROM (SELECT 0 AS _tenant) JOIN main._rows_category USING (_tenant)
;;
-- everything of everybody, by the columns that a full join makes of both, under an alias that no plan names
-- expect: error
WITH x(_tenant, title, status, secret) AS (SELECT 0, NULL, NULL, NULL) SELECT _tenant, title, status, secret FROM x FULL JOIN main.{rows} AS y USING (_tenant, title, status, secret)
;;
-- the same from the right
-- expect: error
WITH x(_tenant, title) AS (SELECT 0, NULL) SELECT title FROM x NATURAL RIGHT JOIN main.{rows} AS y
;;
-- rows of an entity that the session does not read at all
-- expect: error
WITH x(_tenant, text) AS (SELECT 0, NULL) SELECT _tenant, text FROM x FULL JOIN main._rows_note USING (_tenant, text)
;;
-- the same of a user's entity
-- expect: error
WITH x(text) AS (SELECT NULL) SELECT text FROM x FULL JOIN main._rows_diary USING (text)
;;
-- all organizations
-- expect: error
WITH x(id, name) AS (SELECT NULL, NULL) SELECT id, name FROM x FULL JOIN main._organization USING (id, name)
;;
-- all users, under an alias
-- expect: error
WITH x(id, name) AS (SELECT NULL, NULL) SELECT id, name FROM x FULL JOIN main._user AS y USING (id, name)
;;
-- users by their keys
-- expect: error
WITH RECURSIVE x(key) AS (SELECT 1 UNION ALL SELECT key + 1 FROM x LIMIT 100) SELECT key FROM x JOIN main._user USING (key)
;;
-- who is where
-- expect: error
WITH x(organization, user, role) AS (SELECT 0, 0, NULL) SELECT organization, user, role FROM x FULL JOIN main._member USING (organization, user, role)
;;
-- how much everybody has
-- expect: error
WITH x(tenant, entity, count) AS (SELECT 0, 0, 0) SELECT tenant, entity, count FROM x FULL JOIN main._row_head USING (tenant, entity, count)
;;
-- everybody's log, under an alias
-- expect: error
WITH x(key, body) AS (SELECT 0, NULL) SELECT key, body FROM x FULL JOIN main._audit AS y USING (key, body)
;;
-- the schema's text
-- expect: error
WITH x(name, sql) AS (SELECT NULL, NULL) SELECT name, sql FROM x FULL JOIN sqlite_schema USING (name, sql)
;;
-- the hidden views' text
-- expect: error
WITH x(name, sql) AS (SELECT NULL, NULL) SELECT name, sql FROM x FULL JOIN temp.sqlite_schema USING (name, sql)
;;
-- an alias that is a whole step of an allowed plan
-- expect: error
WITH x(_tenant, title) AS (VALUES (2, 'x')) SELECT title FROM x JOIN main.{rows} AS "main.{rows} USING INDEX _id_task (_tenant=?)" USING (_tenant, title)
;;
-- the table in single quotes, which stand for names too
-- expect: error
SELECT count(*) FROM (SELECT 2 AS _tenant) JOIN '{rows}' AS y USING (_tenant)
;;
-- the bytes of everybody's payloads, in a subquery
-- expect: error
SELECT (SELECT group_concat(title) FROM (SELECT 0 AS _tenant, NULL AS title) FULL JOIN {rows} AS y USING (_tenant, title))
;;
-- a join on the left of another one
-- expect: error
SELECT count(*) FROM main.{rows} AS y JOIN (SELECT 2 AS _tenant) USING (_tenant) JOIN (SELECT 1 AS one) ON one = 1
;;
-- titles that anybody has, under an alias that hides a scan
-- expect: error
WITH x(title) AS (VALUES ('paint'), ('{canary} title 3 of linus {u+0057}k3j')) SELECT title, count(*) FROM x JOIN main.{rows} AS y USING (title) GROUP BY 1
;;
-- the same under an alias that is the beginning of an allowed step over reference rows
-- expect: error
SELECT count(*) FROM (SELECT 2 AS _tenant) JOIN main.{rows} AS "main._rows_category USING x" USING (_tenant)
;;
-- an own view joined by a column that only the physical table behind it has
-- expect: error
SELECT count(*) FROM task JOIN (SELECT 2 AS _tenant) USING (_tenant)
;;
-- bytes that anybody has, under an alias and by a column that no index holds
-- expect: error
SELECT count(*) FROM (SELECT CAST('{canary} payload 3 of grace {u+0057}k3j' AS BLOB) AS payload) JOIN main.{rows} AS y USING (payload)
;;
-- the plain view of an entity that the session does not read
-- expect: error
-- in: user
SELECT text FROM (SELECT NULL AS text) FULL JOIN main.note USING (text)
;;
-- the plain view of a user's entity, from within an organization
-- expect: error
-- in: organization
SELECT text FROM (SELECT NULL AS text) NATURAL FULL JOIN main.diary
;;
-- owners' column of the plain view
-- expect: error
SELECT count(*) FROM (SELECT 'ada' AS owner, 'ada' AS user) NATURAL JOIN main.task
;;
-- a table without a schema behind a parenthesis and a comment
-- expect: error
SELECT count(*) FROM (SELECT 2 AS _tenant) JOIN(/**/{rows}/**/)USING(_tenant)
;;
-- letters in capitals behind a parameter
-- expect: error
-- bind: [2]
SELECT count(*) FROM (SELECT ?1 AS _TENANT) NATURAL JOIN _ROWS_DIARY
;;
