-- an object of the views' JSON, walked with its parents and paths
-- expect: own
SELECT t.title, j.fullkey, j.atom FROM task t, json_tree(t.tags) j ORDER BY t.title, j.id
;;
-- the hidden columns of json_each, by which a plan can be steered
-- expect: own
SELECT j.json, j.root FROM task t JOIN json_each(t.tags, '$') j LIMIT 3
;;
-- json_each over another tenant's physical column
-- expect: error
SELECT value FROM {rows}, json_each({rows}.tags)
;;
-- json_each as a plain table, without arguments
SELECT count(*) FROM json_each
;;
-- hidden columns of json_each set by a filter and not by an argument
SELECT value FROM json_each WHERE json = '[1,2,3]'
;;
-- jsonb_tree, whose atoms are bytes
SELECT count(*) FROM jsonb_tree((SELECT tags FROM task LIMIT 1))
;;
-- series of numbers, which this build may not have
SELECT value FROM generate_series(1, 3)
;;
-- pointers by number
-- expect: error
SELECT * FROM carray(1234567, 5, 'int32')
;;
-- the bytecode of a statement over the physical table
-- expect: error
SELECT opcode, p4 FROM bytecode('SELECT * FROM {rows}')
;;
-- which tables a statement uses, hidden ones too
-- expect: error
SELECT name FROM tables_used('SELECT * FROM task')
;;
-- statements that are prepared on the connection
-- expect: error
SELECT sql FROM sqlite_stmt
;;
-- reads a file as a table
-- expect: error
SELECT * FROM fsdir('{dir}')
;;
-- reads a file as lines
-- expect: error
SELECT * FROM lines_read('{db}')
;;
-- an entity called as a function
SELECT * FROM task(1)
;;
-- the entity's own hidden view with arguments of a table function
SELECT title FROM temp.task('{foreign}')
;;
-- a correlated table function on the right of a LEFT JOIN, whose filter sees null rows
-- expect: own
SELECT t.title, j.value FROM task t LEFT JOIN json_each(t.tags) j ON j.value LIKE '{canary}%' ORDER BY t.title
;;
-- a table function named in a schema
SELECT * FROM main.json_each('[1]')
;;
