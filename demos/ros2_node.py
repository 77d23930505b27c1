"""A node of ROS 2: pictures in, facial landmarks out. NOT RUN SO FAR: no ROS 2 was at hand.

It needs a machine with ROS 2 Humble or Jazzy, rclpy, cv_bridge and hri_msgs (ROS4HRI), and this package in the same
Python:

    python3 demos/ros2_node.py --ros-args -r image:=/camera/image_raw -p max_faces:=4

Subscribes `image` (sensor_msgs/Image). Publishes `/humans/faces/tracked` (hri_msgs/IdsList) and, of each measured face,
`/humans/faces/ID/landmarks` (hri_msgs/FacialLandmarks, with NormalizedPointOfInterest2D). Its first 68 points are those
of the scheme ibug68; its pupils, 68 and 69, are the means of the eyes' points.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker import Frame, FrameResult, Tracker
from tracker.face.landmarks import Landmarks

QUEUE = 1  # the newest picture: an older one is of no use to a robot


def points_of(landmarks: Landmarks, width: int, height: int) -> NDArray[np.float64]:
    """(70, 3) x, y, confidence, as hri_msgs/FacialLandmarks has them: 68 landmarks, right pupil, left pupil.

    x and y are 0 to 1 over the picture, from edge to edge.
    """
    normalised = (landmarks.points_px + 0.5) / (width, height)
    rows = np.column_stack([normalised, landmarks.scores])
    return np.vstack([rows, *(rows[list(group)].mean(0) for group in landmarks.scheme.pupil)])


def name_of(face_id: int) -> str:
    """The id of a face in ROS4HRI: a part of a topic's name, which may not begin with a digit."""
    return f"f{face_id:05d}"


class FrameClock:
    """Seconds since the first picture, from the stamps of its header; a stamp that runs back starts anew."""

    def __init__(self) -> None:
        self._first_s: float | None = None
        self._last_s = 0.0
        self.index = -1

    def step(self, seconds: int, nanoseconds: int) -> tuple[int, float]:
        """The index of the next picture, and when it was taken."""
        stamp_s = seconds + 1e-9 * nanoseconds
        if self._first_s is None or stamp_s - self._first_s < self._last_s:
            self._first_s = stamp_s - self._last_s
        self._last_s = stamp_s - self._first_s
        self.index += 1
        return self.index, self._last_s


def make_node(**options: Any) -> Any:
    """The node. Imports ROS 2 here, so that the rest of the file can be imported without it."""
    from cv_bridge import CvBridge
    from hri_msgs.msg import FacialLandmarks, IdsList, NormalizedPointOfInterest2D
    from rclpy.node import Node
    from sensor_msgs.msg import Image

    class LandmarkNode(Node):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__("facial_landmarks")
            max_faces = self.declare_parameter("max_faces", 4).value
            self._tracker = Tracker(**{"max_faces": max_faces, **options})
            self._clock, self._bridge, self._faces = FrameClock(), CvBridge(), {}
            self._tracked = self.create_publisher(IdsList, "/humans/faces/tracked", QUEUE)
            self.create_subscription(Image, "image", self._on_image, QUEUE)

        def _on_image(self, message: Any) -> None:
            index, timestamp_s = self._clock.step(message.header.stamp.sec, message.header.stamp.nanosec)
            picture = np.ascontiguousarray(self._bridge.imgmsg_to_cv2(message, "rgb8"))
            self._publish(self._tracker.step(Frame(picture, timestamp_s, index)), message)

        def _publish(self, result: FrameResult, image: Any) -> None:
            measured = [face for face in result.faces if face.state == "tracking"]
            self._tracked.publish(IdsList(header=image.header, ids=[name_of(face.id) for face in measured]))
            for face in measured:
                if face.id not in self._faces:
                    topic = f"/humans/faces/{name_of(face.id)}/landmarks"
                    self._faces[face.id] = self.create_publisher(FacialLandmarks, topic, QUEUE)
                points = points_of(face.landmarks, image.width, image.height).tolist()
                found = [NormalizedPointOfInterest2D(x=x, y=y, c=c) for x, y, c in points]
                message = FacialLandmarks(header=image.header, landmarks=found, height=image.height, width=image.width)
                self._faces[face.id].publish(message)
            for gone in result.lost:
                if (publisher := self._faces.pop(gone.id, None)) is not None:
                    self.destroy_publisher(publisher)

    return LandmarkNode()


def main() -> int:
    """Run the node until ROS 2 ends it; return the exit status."""
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(__doc__)
        return 0
    try:
        import rclpy
    except ImportError as error:
        print(f"ros2_node: needs ROS 2 ({error}); run it where ROS 2 is installed and set up", file=sys.stderr)
        return 2

    rclpy.init()
    node = make_node()
    try:
        rclpy.spin(node)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
