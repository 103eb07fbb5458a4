-- an index of words over the physical table, by external content
-- expect: refused
CREATE VIRTUAL TABLE temp.words USING fts5(title, content='{rows}')
;;
-- the older module, which reads a table named in content=
-- expect: refused
CREATE VIRTUAL TABLE temp.words USING fts4(content="{rows}", title)
;;
-- all words of an index of somebody's
-- expect: refused
CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words, instance)
;;
-- a pointer into the process, as a tokenizer
-- expect: refused
SELECT fts3_tokenizer('simple', x'4141414141414141')
;;
-- the tokenizer's address
-- expect: refused
SELECT hex(fts3_tokenizer('porter'))
;;
-- a snippet from a value that is no cursor
SELECT snippet(title) FROM task
;;
-- matchinfo of what is no index
SELECT matchinfo(title, 'pcnalx') FROM task
;;
-- offsets of what is no index
SELECT offsets(title) FROM task
;;
-- an index's optimization, which writes
SELECT optimize(title) FROM task
;;
-- rank as a function of a table without an index
SELECT bm25(task) FROM task
;;
-- highlight of a view
SELECT highlight(task, 0, '<', '>') FROM task
;;
-- the table's name as its hidden column, as in an index of words
SELECT * FROM task WHERE task MATCH 'x'
;;
-- tokens as a table
-- expect: error
SELECT token FROM fts3tokenize('simple', 'a b')
;;
-- words of an index as a table function
-- expect: error
SELECT term FROM fts5vocab('main', 'words', 'row')
;;
-- where the module says which source it is made of
-- expect: refused
SELECT fts5_source_id()
;;
