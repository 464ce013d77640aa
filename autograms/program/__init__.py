"""How a program runs, suspends and resumes: effects, the journal, jumps, loading."""
