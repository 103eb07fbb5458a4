-- a collation that is not there, for a message
-- expect: error
SELECT title FROM task ORDER BY title COLLATE de_DE
;;
-- a collation that is named as the tenant's column
SELECT title FROM task ORDER BY title COLLATE _tenant
;;
-- trailing spaces, so that an id equals another one
-- expect: own
SELECT count(*) FROM task WHERE id = '{foreign}   ' COLLATE RTRIM
;;
-- letters without case, over another tenant's id
-- expect: own
SELECT count(*) FROM task WHERE id = upper('{foreign}') COLLATE NOCASE
;;
-- a collation on the left, so that an index does not serve
-- expect: own
SELECT title FROM task WHERE title COLLATE NOCASE >= '{canary}' ORDER BY title
;;
-- compares by another affinity
-- expect: own
SELECT count(*) FROM task WHERE CAST(title AS BLOB) >= CAST('{canary}' AS BLOB)
;;
-- groups by a collation under which texts of others would fall together
-- expect: own
SELECT count(*), min(title) FROM task GROUP BY title COLLATE NOCASE ORDER BY 2
;;
-- equal texts in two ways of writing
-- expect: own
SELECT 'é' = 'e{u+0301}', count(*) FROM task WHERE title = 'é' OR title = 'e{u+0301}'
;;
-- removes the index by a plus and a collation, so that a scan is cheaper
-- expect: own
SELECT count(*) FROM task WHERE +title COLLATE BINARY > 'a'
;;
