"""What a network is to do, a folder or file a task. Imports data, teachers and students."""
