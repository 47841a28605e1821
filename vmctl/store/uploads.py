"""Images on their way, in the SQL registry. What each method promises is in its port."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete
from sqlalchemy.orm import Session

from vmctl.model.records import Event, Image, Storage
from vmctl.model.uploads import Upload
from vmctl.store import limit_rules, rows, rules
from vmctl.store.database import writing
from vmctl.store.statements import is_key, locked, tell, unique
from vmctl.store.tables import ImageRow, UploadRow
from vmctl.store.users import in_project, within


class SqlUploads:
    """The part of the SQL registry that knows what is being uploaded."""

    @writing
    def add_upload(self, db: Session, upload: Upload) -> None:
        if locked(db, Storage, upload.storage) is None:
            raise rules.missing("storage", upload.storage)
        in_project(db, upload.project)
        within(db, limit_rules.whose("", upload.project), limit_rules.of_upload(upload))
        db.add(rows.to_row(UploadRow, upload))
        with unique(lambda: rules.there_is(Upload, upload.id)):
            db.flush()

    @writing
    def finish_upload(self, db: Session, key: str, image: Image, *, told: Collection[Event] = ()) -> None:
        # The storage's row first, as by who takes a storage away.
        if locked(db, Storage, image.storage) is None:
            raise rules.missing("storage", image.storage)
        rules.finished(locked(db, Upload, key), key, image)
        in_project(db, image.project)
        db.execute(delete(UploadRow).where(is_key(Upload, key)))  # what it had is the image's now
        within(db, limit_rules.whose("", image.project), limit_rules.of_image(image))
        db.add(rows.to_row(ImageRow, image))
        with unique(lambda: rules.there_is(Image, image.name)):
            db.flush()
        tell(db, told)
