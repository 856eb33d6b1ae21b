"""From files people have to components: checkpoints, LoRAs, VAEs and concepts of every usual format."""
