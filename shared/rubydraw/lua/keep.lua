-- KEYS[1]: a drawing that a job is about to name. Answers 1 if it is there and now outlives the job, 0 if it is gone.
return kept(KEYS[1]) and 1 or 0
