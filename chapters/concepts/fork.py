import os

number = 1
if os.fork() == 0:
    number = 2
    print("child:  the number is", number, flush=True)
    os._exit(0)
os.wait()
print("parent: the number is", number)
