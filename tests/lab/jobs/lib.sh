# What jobs of the lab share; a job begins with `. /share/jobs/lib.sh`.
