"""One run: decide which steps have something to do, execute their notebooks in warm kernels, and report. Also
plan and status, which look at runs without running, and watch, which runs again and again. No rule of a step
belongs here, and nothing reads a row of a layer."""
