"""Bytes -> rows of text cells under names, with their lines, their units, and what was recognised, in words.

source     what is read, as its reader and its errors know it
files      bytes of a path, unpacked
text       bytes -> text: encodings, comments
delimited  text -> rows of cells: what stands between them, quotes
sheets     Excel and Parquet -> rows of cells
head       rows -> names, units, and where the rows of readings begin
table      all of that
numbers    cells -> numbers, and what is wrong with those that are none
rows       which rows are meant
summary    last rows that are none of readings
"""
