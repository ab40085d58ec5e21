"""What an experiment is: settings, differences, numbers, record rows, errors, text. Imports no other folder of ours and never torch."""
