-- nothing at all
-- expect: error

;;
-- a comment alone
-- expect: error
/* nothing */ -- here
;;
-- a comment that does not end, which SQLite takes
-- expect: own
SELECT title FROM task ORDER BY 1 /* and so on
;;
-- an empty statement in front
SELECT 1 WHERE 0; ;
;;
-- a semicolon in front
; SELECT title FROM task
;;
-- U+0000, behind which SQLite does not read
-- expect: error
SELECT 1 {u+0000} FROM {rows}
;;
-- U+0000 in a text
-- expect: error
SELECT 'a{u+0000}b'
;;
-- U+0000 made of a number, which ends texts in C
-- expect: own
SELECT 'x' || char(0) || title, length('x' || char(0) || 'y') FROM task ORDER BY id
;;
-- a byte order mark in front
{u+FEFF}SELECT title FROM {rows}
;;
-- letters that only look alike
-- expect: error
SELECT * FROM t{u+0430}sk
;;
-- full width letters
-- expect: error
SELECT * FROM {u+FF54}{u+FF41}{u+FF53}{u+FF4B}
;;
-- the Kelvin sign, which folds to k in Unicode
-- expect: error
SELECT * FROM tas{u+212A}
;;
-- a long s, which folds to s
-- expect: error
SELECT * FROM {u+017F}qlite_schema
;;
-- a space without width in a name
-- expect: error
SELECT * FROM sqlite_{u+200B}schema
;;
-- spaces that are none to SQLite
-- expect: error
SELECT{u+00A0}title{u+2003}FROM task
;;
-- line ends and tabs and form feeds between words
-- expect: own
SELECT{u+000D}{u+000A}title{u+0009}FROM{u+000C}task ORDER BY 1
;;
-- text from right to left
-- expect: own
SELECT title AS "{u+202E}drowssap" FROM task ORDER BY 1
;;
-- a name in single quotes where a table stands
-- expect: error
SELECT count(*) FROM '{rows}'
;;
-- a name in backticks
-- expect: error
SELECT count(*) FROM `main`.`{rows}`
;;
-- doubled quotes within a name
-- expect: error
SELECT * FROM "task"""
;;
-- an empty name
-- expect: error
SELECT * FROM ""
;;
-- a double-quoted text where a column stands
-- expect: error
SELECT title FROM task WHERE title = "{canary}"
;;
-- breaks out of the view's parentheses
-- expect: error
SELECT title FROM task) UNION ALL SELECT title FROM ({rows}
;;
-- a comment within a name's dots
-- expect: error
SELECT * FROM main /* x */ . /* y */ {rows}
;;
-- bytes that are no text
-- expect: own
SELECT CAST(x'ff00fe41' AS TEXT), length(CAST(x'c3' AS TEXT))
;;
-- half of a surrogate, and beyond the last code point
-- expect: own
SELECT char(55296), char(1114112), unicode(char(57343))
;;
-- a name of a column that holds what an error prints
-- expect: own
SELECT title AS "no such table: x{u+001B}[31m" FROM task ORDER BY 1
;;
-- an error with control characters in a name
-- expect: error
SELECT * FROM "x{u+001B}[2J{u+000A}forged line"
;;
-- a hexadecimal number that is too long
-- expect: error
SELECT 0x1ffffffffffffffff
;;
-- digits apart
-- expect: own
SELECT 1_000, 0xff, 1e3, .5
;;
-- a bytes literal of odd length
-- expect: error
SELECT x'abc'
;;
-- the tail of a statement behind a comment
SELECT title FROM task -- ; DELETE FROM task
;;
-- a backslash, which escapes nothing
-- expect: error
SELECT 'it\'s' FROM task
;;
