-- a virtual table of its own, over pages
-- expect: refused
CREATE VIRTUAL TABLE temp.pages USING sqlite_dbpage
;;
-- pages of the file, raw
-- expect: error
SELECT hex(data) FROM sqlite_dbpage WHERE pgno < 50
;;
-- pages of the file, counted
-- expect: error
SELECT count(*) FROM SQLITE_DBPAGE
;;
-- pages of a schema that a hidden column names
-- expect: error
SELECT pgno FROM sqlite_dbpage('main')
;;
-- how large each table is
-- expect: error
SELECT name, sum(pgsize) FROM dbstat GROUP BY name
;;
-- how large, in one row each
-- expect: error
SELECT name, pgsize FROM dbstat('main', 1)
;;
-- dbstat as a new table
-- expect: refused
CREATE VIRTUAL TABLE temp.sizes USING dbstat(main)
;;
-- an R*Tree's check, which reads any table by name
-- expect: refused
SELECT rtreecheck('main', '{rows}')
;;
-- an R*Tree's node decoder
-- expect: refused
SELECT rtreedepth(x'0000')
;;
-- polygons
-- expect: error
SELECT geopoly_blob('[[0,0],[1,0],[0,1],[0,0]]')
;;
-- a module that is named as a table without being eponymous
-- expect: error
SELECT * FROM rtree
;;
-- a module of numbers as integers
-- expect: error
SELECT count(*) FROM rtree_i32
;;
-- files of commas as tables
-- expect: refused
CREATE VIRTUAL TABLE temp.passwd USING csv(filename='{db}')
;;
-- an archive as a table
-- expect: error
SELECT * FROM zipfile('{db}')
;;
-- the file as a table of its own
-- expect: refused
CREATE VIRTUAL TABLE temp.again USING sqlite_vfs('{db}')
;;
