-- counts without end
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n
;;
-- rows without end
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n
;;
-- a queue that grows by itself
-- expect: limit
WITH RECURSIVE n(i, s) AS (SELECT 1, 'x' UNION ALL SELECT i + 1, s || s FROM n) SELECT max(length(s)) FROM n
;;
-- a set that grows, for UNION keeps all
-- expect: limit
WITH RECURSIVE n(s) AS (SELECT printf('%.5000c', 'x') UNION SELECT substr(s, 2) || length(s) || random() FROM n) SELECT count(*) FROM n
;;
-- memory by a sorted heap of long texts
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT printf('%.50000c', 'x') || i AS s FROM n ORDER BY s DESC
;;
-- memory by an aggregate
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000000) SELECT length(json_group_array(printf('%.5000c', 'x'))) FROM n
;;
-- memory by distinct values
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000000) SELECT count(DISTINCT printf('%.2000c', 'x') || i) FROM n
;;
-- memory by a window over everything
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000000) SELECT sum(i) OVER (ORDER BY -i) FROM n
;;
-- a product of joins
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000) SELECT count(*) FROM n a, n b, n c, n d WHERE a.i + b.i > c.i * d.i
;;
-- the own rows times themselves
-- expect: limit
SELECT count(*) FROM task a, task b, task c, task d, task e, task f, task g, task h, task i, task j, task k, task l, task m, task n, task o, task p WHERE a.title || p.title = 'x'
;;
-- doubling of a text, 30 times
-- expect: limit
WITH a(s) AS (SELECT printf('%.1000c', 'x')), b(s) AS (SELECT s||s||s||s||s||s||s||s||s||s FROM a), c(s) AS (SELECT s||s||s||s||s||s||s||s||s||s FROM b), d(s) AS (SELECT s||s||s||s||s||s||s||s||s||s FROM c) SELECT length(s||s||s||s||s||s||s||s||s||s) FROM d
;;
-- a replacement that multiplies
-- expect: limit
SELECT length(replace(printf('%.20000c', 'x'), 'x', printf('%.20000c', 'y')))
;;
-- wildcards
SELECT printf('%.20000c', 'a') LIKE '%a%a%a%a%a%a%a%a%a%a%b'
;;
-- a pattern that is longer than patterns may be
SELECT 'x' GLOB printf('%.5000c', '*')
;;
-- nested expressions
-- expect: limit
SELECT {repeat 150 (}1{repeat 150 )} + {repeat 150 -(}1{repeat 150 )}
;;
-- a chain of operators, which is as deep as it is long
-- expect: limit
SELECT 1{repeat 800  + 1}
;;
-- nested functions
-- expect: limit
SELECT {repeat 120 abs(}1{repeat 120 )}
;;
-- nested subqueries
SELECT {repeat 60 (SELECT }1{repeat 60 )}
;;
-- nested subqueries in FROM
SELECT * FROM {repeat 70 (SELECT * FROM }task{repeat 70 )}
;;
-- many columns
SELECT 1{repeat 2500 ,1}
;;
-- many terms of a compound
SELECT 1{repeat 600  UNION ALL SELECT 1}
;;
-- many tables in a join
SELECT count(*) FROM task{repeat 70 , category} WHERE 0
;;
-- many arguments
SELECT coalesce(NULL{repeat 200 ,NULL})
;;
-- many values
SELECT count(*) FROM (VALUES (1){repeat 3000 ,(1)})
;;
-- many CTEs that each double
-- expect: limit
WITH a AS (SELECT 1 AS x UNION ALL SELECT 2), b AS (SELECT x.x FROM a x, a y), c AS (SELECT x.x FROM b x, b y), d AS (SELECT x.x FROM c x, c y), e AS (SELECT x.x FROM d x, d y), f AS (SELECT x.x FROM e x, e y) SELECT count(*) FROM f x, f y
;;
-- a text of more bytes than statements may have
-- expect: limit
SELECT '{repeat 70000 x}'
;;
-- a comment of as many
-- expect: limit
SELECT 1 /* {repeat 70000 x} */
;;
-- a number of parameters
SELECT ?99999
;;
-- JSON within JSON
SELECT json(printf('%.3000c', '[') || printf('%.3000c', ']'))
;;
-- JSON that is walked
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) SELECT count(*) FROM n a, n b, json_tree('[[1,2,3],[4,5,6],[7,[8,[9]]]]')
;;
-- indentation that multiplies
-- expect: refused
SELECT length(json_pretty('[[[[[[[[1]]]]]]]]', printf('%.100000c', ' ')))
;;
-- a result of many rows
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT i FROM n
;;
-- a result of few and long rows
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 4000) SELECT printf('%.60000c', 'x') FROM n
;;
-- a trim that compares each with each
-- expect: own
SELECT length(trim(printf('%.2000c', 'a') || 'b', printf('%.2000c', 'c') || 'ab'))
;;
-- a search in a text of almost equal ones
-- expect: own
SELECT instr(printf('%.20000c', 'a'), printf('%.10000c', 'a') || 'b')
;;
-- an offset that skips
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT 1 OFFSET 9000000000000000000
;;
-- a series of nested views by UNION, which the planner multiplies out
SELECT count(*) FROM (SELECT id FROM task UNION ALL SELECT id FROM project) a, (SELECT id FROM task UNION ALL SELECT id FROM project) b WHERE a.id = b.id OR a.id > b.id
;;
-- a group per row of long keys
-- expect: limit
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000000) SELECT count(*) FROM (SELECT i || printf('%.2000c', 'x') AS k FROM n GROUP BY k HAVING count(*) > 1)
;;
-- keys within keys, each of which would double what is in it
-- expect: own
SELECT messagepack_json(x'{repeat 60 81}a161{repeat 60 c0}')
;;
-- lists within lists, for the thread's stack
-- expect: own
SELECT messagepack_json(x'{repeat 1000 91}c0'), audit_json(x'{repeat 1000 91}c0')
;;
-- expressions that are put into each other
-- expect: limit
SELECT {repeat 90 x+}x FROM (SELECT {repeat 90 x+}x AS x FROM (SELECT {repeat 90 x+}x AS x FROM (SELECT {repeat 90 x+}x AS x FROM (SELECT amount AS x FROM task))))
;;
-- tables that double each other
-- expect: limit
WITH a AS (SELECT 1 AS x), b AS (SELECT p.x FROM a p, a q), c AS (SELECT p.x FROM b p, b q), d AS (SELECT p.x FROM c p, c q), e AS (SELECT p.x FROM d p, d q), f AS (SELECT p.x FROM e p, e q), g AS (SELECT p.x FROM f p, f q), h AS (SELECT p.x FROM g p, g q), i AS (SELECT p.x FROM h p, h q), j AS (SELECT p.x FROM i p, i q), k AS (SELECT p.x FROM j p, j q), l AS (SELECT p.x FROM k p, k q), m AS (SELECT p.x FROM l p, l q), n AS (SELECT p.x FROM m p, m q), o AS (SELECT p.x FROM n p, n q), r AS (SELECT p.x FROM o p, o q) SELECT x FROM r
;;
