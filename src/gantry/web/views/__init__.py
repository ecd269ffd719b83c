"""Read models: bodies of the API made from the database and from what the engines see."""
