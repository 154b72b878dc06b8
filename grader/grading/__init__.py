"""From a submission to a report, and from a class to a gradebook."""
