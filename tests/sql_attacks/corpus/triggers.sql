-- a trigger on the tenant's view, which would run with writes
-- expect: refused
CREATE TEMP TRIGGER peek INSTEAD OF UPDATE ON task BEGIN SELECT * FROM {rows}; END
;;
-- a trigger on the physical table, from the temporary schema
-- expect: refused
CREATE TEMP TRIGGER copy AFTER INSERT ON main.{rows} BEGIN SELECT 1; END
;;
-- drops what keeps a row's tenant
-- expect: refused
DROP TRIGGER _fixed_task
;;
-- drops what keeps tenants
-- expect: refused
DROP TRIGGER IF EXISTS main._tenant_stays
;;
-- a trigger whose text is broken, for a message that names a table
-- expect: error
CREATE TEMP TRIGGER peek AFTER INSERT ON nowhere BEGIN SELECT FROM; END
;;
-- raises an error outside of a trigger
SELECT RAISE(FAIL, '{canary}')
;;
-- raises one with a value of a row
SELECT RAISE(IGNORE) FROM task
;;
-- fires a trigger by a write to the members' copy
-- expect: refused
-- in: organization
DELETE FROM members WHERE 0
;;
