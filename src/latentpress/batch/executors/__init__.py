"""Where pictures are rendered: each executor takes requests and gives pictures with what they were made on."""
