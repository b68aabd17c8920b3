"""Make past runs again and prove that nothing has drifted: replay, verify, and the comparison of tables."""
