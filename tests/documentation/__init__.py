"""The documentation: pages made from the code, and the site made from the pages (`make docs`)."""
