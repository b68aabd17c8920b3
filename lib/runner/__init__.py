"""One run: decide which steps have something to do, execute their notebooks in warm kernels, and report. Also what looks at
runs without running: plan and status."""
