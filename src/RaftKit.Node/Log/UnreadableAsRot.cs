namespace RaftKit.Node.Log;

/// <summary>
/// A directory whose disk answers some reads with an error. A bad sector is rot like any other (Alagappan et al., FAST'18, count both as
/// one fault): what stands there is lost, and that it stood there is not. So each such page is read twice, since the error may have
/// passed, whatever is wrong with the pages beside it; then it reads as bytes that no writer ever leaves, and recovery does with it what it does with rot: entries are fetched from the
/// leader, a lost vote makes this a wiped member. Snapshots have checksums that no such bytes pass.
/// </summary>
/// <param name="directory">What is read.</param>
/// <param name="noted">Hears of every error, in words for people; on the reading thread.</param>
internal sealed class UnreadableAsRot(ILogDirectory directory, Action<string>? noted = null) : ILogDirectory
{
    /// <summary>
    /// Beyond this it is no bad sector but a disk that is gone: each failed read may take seconds, and nothing will be there to repair.
    /// </summary>
    public const int MostPages = 64;

    // Neither a segment's stamp nor a zero, wherever the page is: never torn, never unwritten, never whole.
    private const byte Fill = 0xa5;

    private readonly Lock _gate = new();
    private readonly List<string> _errors = [];

    // What could not be read once is lost until it is written again, so that recovery and verification, which read some pages twice, see
    // one disk.
    private readonly HashSet<(string File, long Page)> _lost = [];

    // A snapshot is opened before it gets its name, and read under that for as long as it is the newest: what is lost in it is of the file
    // that is deleted when it is replaced.
    private readonly Dictionary<string, string> _renamed = new(StringComparer.Ordinal);

    public string Location => directory.Location;

    /// <summary>How often the disk answered a read with an error, counted up to <see cref="MostPages"/>.</summary>
    public int ErrorCount
    {
        get
        {
            lock (_gate)
                return _errors.Count;
        }
    }

    /// <summary>What could not be read, and what was read the second time; empty if nothing.</summary>
    public string Errors
    {
        get
        {
            lock (_gate)
                return string.Join(' ', _errors);
        }
    }

    /// <summary>The pages that could not be read.</summary>
    public IReadOnlyList<(string File, long Offset)> Lost
    {
        get
        {
            lock (_gate)
                return [.. _lost.Select(lost => (lost.File, lost.Page * PageFormat.PageSize)).Order()];
        }
    }

    public IDisposable Lock() => directory.Lock();

    public IReadOnlyList<string> List() => directory.List();

    public IReadOnlyList<string> Folders() => directory.Folders();

    public bool Exists(string name) => directory.Exists(name);

    public ILogFile Create(string name, long length)
    {
        Forget(name);
        lock (_gate)
            _renamed.Remove(name);
        return new File(this, directory.Create(name, length));
    }

    public ILogFile Open(string name) => new File(this, directory.Open(name));

    public void Rename(string from, string to)
    {
        Forget(to);
        directory.Rename(from, to);
        lock (_gate)
        {
            foreach (var lost in _lost.Where(lost => lost.File == from).ToArray())
            {
                _lost.Remove(lost);
                _lost.Add((to, lost.Page));
            }
            _renamed[from] = to;
        }
    }

    public void Delete(string name)
    {
        directory.Delete(name);
        // What was healed, and went with its file, is no part of a disk that is gone.
        Forget(name);
    }

    public void Sync() => directory.Sync();

    private void Forget(string name)
    {
        lock (_gate)
        {
            _lost.RemoveWhere(lost => lost.File == name);
            foreach (var (opened, _) in _renamed.Where(renamed => renamed.Value == name).ToArray())
                _renamed.Remove(opened);
        }
    }

    // What a file is called now that was opened under this name.
    private string NameNow(string opened)
    {
        lock (_gate)
            return _renamed.GetValueOrDefault(opened, opened);
    }

    private bool HasLost(string name)
    {
        lock (_gate)
            return _lost.Count > 0 && NameNow(name) is var now && _lost.Any(lost => lost.File == now);
    }

    private void Note(string file, long page, IOException error, bool isLost)
    {
        var what = $"{file} at offset {page * PageFormat.PageSize}: the disk answered \"{error.Message}\"{(isLost ? "" : ", and read it the second time")}.";
        lock (_gate)
        {
            if (isLost && _lost.Add((file, page)) && _lost.Count > MostPages)
            {
                throw new LogFailedException(
                    $"The disk of {Location} cannot read more than {MostPages} pages; the last one is in {file}, at offset {page * PageFormat.PageSize}: {error.Message} "
                    + "Replace the disk, and start the member with an empty directory: it then joins under a new incarnation.", error);
            }
            if (_errors.Count < MostPages)
                _errors.Add(what);
        }
        noted?.Invoke(what);
    }

    private sealed class File(UnreadableAsRot owner, ILogFile file) : ILogFile
    {
        public string Name => owner.NameNow(file.Name);

        public long Length => file.Length;

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            file.Write(offset, bytes);
            var (first, last) = (offset / PageFormat.PageSize, (offset + bytes.Length - 1) / PageFormat.PageSize);
            lock (owner._gate)
            {
                if (owner._lost.Count > 0)
                    owner._lost.RemoveWhere(lost => lost.File == Name && lost.Page >= first && lost.Page <= last);
            }
        }

        public int Read(long offset, Span<byte> into)
        {
            if (owner.HasLost(file.Name))
                return ReadByPage(offset, into, null);
            try
            {
                return file.Read(offset, into);
            }
            catch (IOException error)
            {
                return ReadByPage(offset, into, error);
            }
        }

        public void Sync() => file.Sync();

        public void Dispose() => file.Dispose();

        private int ReadByPage(long offset, Span<byte> into, IOException? error)
        {
            var length = (int)Math.Clamp(file.Length - offset, 0, into.Length);
            var hasPassed = true;
            for (var at = 0; at < length;)
            {
                var page = (offset + at) / PageFormat.PageSize;
                var count = (int)Math.Min(length - at, ((page + 1) * PageFormat.PageSize) - offset - at);
                // A read of several pages that failed says nothing of any one of them.
                if (!TryRead(page, offset + at, into.Slice(at, count), tries: error is not null && count == length ? 1 : 2))
                {
                    into.Slice(at, count).Fill(Fill);
                    hasPassed = false;
                }
                at += count;
            }
            if (error is not null && hasPassed)
                owner.Note(Name, offset / PageFormat.PageSize, error, isLost: false);
            return length;
        }

        private bool TryRead(long page, long offset, Span<byte> into, int tries)
        {
            lock (owner._gate)
            {
                if (owner._lost.Contains((Name, page)))
                    return false;
            }
            IOException? passed = null;
            while (true)
            {
                try
                {
                    var isWhole = file.Read(offset, into) == into.Length;
                    if (passed is not null)
                        owner.Note(Name, page, passed, isLost: false);
                    return isWhole;
                }
                catch (IOException error) when (--tries > 0)
                {
                    passed = error;
                }
                catch (IOException error)
                {
                    owner.Note(Name, page, error, isLost: true);
                    return false;
                }
            }
        }
    }
}
