def is_there(): return False
def evaluate_compiled(program, box, threads): return program.evaluate(box, threads)
