# A scene through V4L2 gives the mask that the host makes of it, and as good a one as the model can.
# seconds: 90
cameras
play free=/suite/free.png blocked=/suite/blocked.png
for scene in free blocked; do
    show "$scene"
    # Frames of the scene before are still on their way.
    sleep 1
    "$atrous" run -q "$hdmi?size=1280x720&format=yuyv" "$kept/$scene/" -m "$model" -n 2 --visualize frame,index ||
        fail "$scene: exit code $?"
    facts=$(outside check same_mask "$scene") || fail "$scene: $facts"
    note "$facts"
done
