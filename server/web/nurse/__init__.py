"""The nurse's pages: the work list, one alert, one person, a value by hand."""
