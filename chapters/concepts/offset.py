import os
import tempfile

file = tempfile.TemporaryFile()
file.write(b"one two ")
file.flush()
first = file.fileno()
second = os.dup(first)  # another descriptor of the same open file
third = os.open(f"/proc/self/fd/{first}", os.O_RDONLY)  # the same file, opened anew
os.lseek(first, 0, os.SEEK_SET)
print("first: ", os.read(first, 4))
print("second:", os.read(second, 4))
print("third: ", os.read(third, 4))
