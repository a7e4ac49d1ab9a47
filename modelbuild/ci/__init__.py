"""What continuous integration asks for: parts of a build, what a commit affects, and results in the forms it reads."""
