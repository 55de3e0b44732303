"""What the stages run on: files, configuration, devices, processes, logs."""
