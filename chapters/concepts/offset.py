import os
import tempfile

file = tempfile.TemporaryFile()
file.write(b"one two six ")
file.flush()
first = file.fileno()
second = os.dup(first)  # another descriptor of the same open file
os.lseek(first, 0, os.SEEK_SET)
if os.fork() == 0:  # the child has both descriptors, too
    print("child: ", os.read(first, 4), flush=True)
    os._exit(0)
third = os.open(f"/proc/self/fd/{first}", os.O_RDONLY)  # the same file, opened anew
os.wait()
print("first: ", os.read(first, 4))
print("second:", os.read(second, 4))
print("third: ", os.read(third, 4))
