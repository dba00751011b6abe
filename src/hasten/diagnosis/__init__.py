"""What tells a program's author what went wrong: companions of the runtime, imported when they are asked for."""
