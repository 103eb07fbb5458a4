-- no values
-- expect: error
SELECT title FROM task WHERE title = ?
;;
-- too many values
-- expect: error
-- bind: [1, 2]
SELECT ?
;;
-- another tenant's beginning as a pattern, which may change the plan once it is known
-- expect: own
-- bind: ["{canary}%"]
SELECT count(*) FROM task WHERE title LIKE ?1
;;
-- a pattern without case and an escape
-- expect: own
-- bind: ["{canary}*"]
SELECT count(*) FROM task WHERE title GLOB ?
;;
-- another tenant's id as a value
-- expect: own
-- bind: {":id": "{foreign}"}
SELECT * FROM task WHERE id = :id
;;
-- SQL as a value
-- expect: own
-- bind: ["x' OR 1=1 UNION SELECT title FROM {rows} --"]
SELECT title FROM task WHERE title = ?1
;;
-- a limit of none
-- expect: own
-- bind: [-1]
SELECT title FROM task ORDER BY title LIMIT ?1
;;
-- a limit that is a text
-- bind: ["many"]
SELECT title FROM task ORDER BY title LIMIT ?1
;;
-- the overflowing number as a value
-- bind: [-9223372036854775808]
SELECT abs(?1), title FROM task
;;
-- every kind of name
-- expect: own
-- bind: {":a": 1, "@b": 2, "$c": 3}
SELECT :a + @b + $c
;;
-- a name of a language that is not ours
-- expect: error
SELECT $x::y(z)
;;
-- a number that leaves out others
-- expect: error
-- bind: [1]
SELECT ?3
;;
-- a name that the text does not hold
-- expect: error
-- bind: {":nobody": 1}
SELECT 1
;;
-- a value as a table's name
-- expect: error
-- bind: ["{rows}"]
SELECT * FROM ?1
;;
-- a value as a JSON path
-- bind: ["$[0]"]
SELECT json_extract(tags, ?1) FROM task ORDER BY id
;;
-- a value as a printf width
-- bind: [2000000000]
SELECT printf('%*d', ?1, 1)
;;
-- a list as a value, to be taken apart
-- expect: own
-- bind: ["[\"{foreign}\", \"{own}\"]"]
SELECT title FROM task WHERE id IN (SELECT value FROM json_each(?1))
;;
-- U+0000 in a value
-- expect: own
-- bind: ["a\u0000b"]
SELECT length(?1), hex(?1), title FROM task WHERE title <> ?1 ORDER BY title
;;
