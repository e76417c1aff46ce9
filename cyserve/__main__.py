"""`python -m cyserve` is the command `cyserve`."""

from cyserve.app.wsgiapp import run

if __name__ == "__main__":
    run(prog="cyserve")
