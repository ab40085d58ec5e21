"""An experiment becomes rows: data, models, optimizers, the step, the run, and all that exact resume needs. Nothing else imports torch."""
