"""`python -m cyserve` is the command `cyserve`.

Nothing else may be here: the console script does not run this file.
"""

from cyserve.app.wsgiapp import run

if __name__ == "__main__":
    run(prog="cyserve")
