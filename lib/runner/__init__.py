"""One run: decide which steps have something to do, execute their notebooks in warm kernels, and report. Plan
and status look at runs without running, and watch starts one run after another. No rule of a step belongs
here, and nothing reads a row of a layer.
"""
