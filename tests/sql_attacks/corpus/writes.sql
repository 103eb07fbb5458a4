-- inserts through the view and shows what is there
-- expect: refused
INSERT INTO task (title) VALUES ('x') RETURNING *
;;
-- inserts for another tenant
-- expect: refused
INSERT INTO {rows} (_tenant, title) VALUES (1, 'forged')
;;
-- updates everything
-- expect: refused
UPDATE {rows} SET title = 'x' RETURNING title
;;
-- moves rows to another tenant
-- expect: refused
UPDATE main.{rows} SET _tenant = 1
;;
-- deletes, with a common table expression in front
-- expect: refused
WITH gone AS (SELECT id FROM task) DELETE FROM task WHERE id IN gone
;;
-- deletes and shows what was there
-- expect: refused
DELETE FROM {rows} RETURNING *
;;
-- replaces another tenant's row by its id
-- expect: refused
REPLACE INTO {rows} (_id, title) VALUES (x'00', 'x')
;;
-- takes a conflict as an answer
-- expect: refused
INSERT INTO {rows} (_id) VALUES (x'00') ON CONFLICT (_tenant, _id) DO UPDATE SET title = excluded.title RETURNING title
;;
-- ignores a conflict and counts
-- expect: refused
INSERT OR IGNORE INTO task SELECT * FROM task
;;
-- updates from a join
-- expect: refused
UPDATE task SET title = other.title FROM {rows} AS other WHERE other.title LIKE '{canary}%'
;;
-- copies the members' list into itself
-- expect: refused
-- in: organization
INSERT INTO members VALUES ('x', 'x', 'admin', 'now')
;;
-- makes itself an administrator in the copy
-- expect: refused
-- in: organization
UPDATE temp.members SET role = 'admin' RETURNING *
;;
-- writes the schema
-- expect: refused
UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '')
;;
-- writes the temporary schema, where the tenant is a literal
-- expect: refused
UPDATE temp.sqlite_schema SET sql = replace(sql, '_tenant =', '0 <>')
;;
-- removes the views
-- expect: refused
DELETE FROM sqlite_temp_master
;;
-- makes a table
-- expect: refused
CREATE TABLE stolen AS SELECT * FROM {rows}
;;
-- makes a temporary table of another tenant's rows
-- expect: refused
CREATE TEMP TABLE stolen AS SELECT * FROM main.{rows}
;;
-- makes a view in the place of the own one
-- expect: refused
CREATE TEMP VIEW task AS SELECT * FROM main.{rows}
;;
-- makes an index on an expression that fails
-- expect: refused
CREATE INDEX peek ON {rows} (abs(title))
;;
-- makes a unique index, which tells of equal values
-- expect: refused
CREATE UNIQUE INDEX peek ON {rows} (title)
;;
-- drops the table
-- expect: refused
DROP TABLE {rows}
;;
-- drops the own view
-- expect: refused
DROP VIEW temp.task
;;
-- renames a column
-- expect: refused
ALTER TABLE {rows} RENAME COLUMN _tenant TO owner
;;
-- drops the tenant
-- expect: refused
ALTER TABLE {rows} DROP COLUMN _tenant
;;
-- writes the log
-- expect: refused
DELETE FROM audit
;;
-- writes the physical log
-- expect: refused
UPDATE _audit SET body = NULL
;;
-- begins a transaction that nobody ends
-- expect: refused
BEGIN EXCLUSIVE
;;
-- a savepoint
-- expect: refused
SAVEPOINT here
;;
-- a release of none
-- expect: refused
RELEASE here
;;
-- ends what the library began
-- expect: refused
END TRANSACTION
;;
-- a second statement behind the first one
SELECT 1; DELETE FROM task
;;
