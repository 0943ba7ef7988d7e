"""What Git and DVC keep of earlier versions."""
