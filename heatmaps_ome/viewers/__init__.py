"""Files and pages with which viewers open the results."""
