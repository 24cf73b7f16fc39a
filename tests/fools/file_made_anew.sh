# A file's name and, on many file systems, its inode's number are used again.
# must: write "one\n" -> read "one\n"
# must: write "two\n" -> read "two\n"
echo one > file; cat file > /dev/null; rm file
echo two > file; cat file > /dev/null; rm file
