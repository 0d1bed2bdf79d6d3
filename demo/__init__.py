"""The page in the browser: click an object in a photo, get the photo without it."""
