"""An engine whose model is somebody else's: any server of chat completions over pictures."""
