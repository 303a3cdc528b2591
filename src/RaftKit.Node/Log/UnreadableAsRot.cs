namespace RaftKit.Node.Log;

/// <summary>
/// A directory whose disk answers some reads with an error. A bad sector is rot like any other (Alagappan et al., FAST'18, count both as one fault): what stands there is lost, and that it
/// stood there is not. So such a page is read again by itself, since the error may have passed; then it reads as bytes that no writer ever leaves, and recovery does with it what it does with rot:
/// entries are fetched from the leader, a lost vote makes this a wiped member. Snapshots have checksums that no such bytes pass.
/// </summary>
internal sealed class UnreadableAsRot(ILogDirectory directory) : ILogDirectory
{
    /// <summary>Beyond this it is no bad sector but a disk that is gone: each failed read may take seconds, and nothing will be there to repair.</summary>
    public const int MostPages = 64;

    // Neither a segment's stamp nor a zero, wherever the page is: never torn, never unwritten, never whole.
    private const byte Fill = 0xa5;

    private readonly Lock _gate = new();
    private readonly List<string> _errors = [];
    private int _pages;

    public string Location => directory.Location;

    /// <summary>How often the disk answered a read with an error.</summary>
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

    public IDisposable Lock() => directory.Lock();

    public IReadOnlyList<string> List() => directory.List();

    public bool Exists(string name) => directory.Exists(name);

    public ILogFile Create(string name, long length) => new File(this, directory.Create(name, length));

    public ILogFile Open(string name) => new File(this, directory.Open(name));

    public void Rename(string from, string to) => directory.Rename(from, to);

    public void Delete(string name) => directory.Delete(name);

    public void Sync() => directory.Sync();

    private void Note(string file, long page, IOException error, bool isLost)
    {
        lock (_gate)
        {
            if (isLost && ++_pages > MostPages)
            {
                throw new LogFailedException(
                    $"The disk of {Location} cannot read more than {MostPages} pages; the last one is in {file}, at offset {page * PageFormat.PageSize}: {error.Message} Nothing was changed. "
                    + "Replace the disk, and start the member with an empty directory: it then joins under a new incarnation.", error);
            }
            if (_errors.Count < MostPages)
                _errors.Add($"{file} at offset {page * PageFormat.PageSize}: the disk answered \"{error.Message}\"{(isLost ? "" : ", and read it the second time")}.");
        }
    }

    private sealed class File(UnreadableAsRot owner, ILogFile file) : ILogFile
    {
        // What could not be read once is lost to this process, so that recovery, which reads some pages twice, sees one disk.
        private readonly HashSet<long> _lost = [];

        public string Name => file.Name;

        public long Length => file.Length;

        public void Write(long offset, ReadOnlySpan<byte> bytes) => file.Write(offset, bytes);

        public int Read(long offset, Span<byte> into)
        {
            lock (_lost)
            {
                if (_lost.Count > 0)
                    return ReadByPage(offset, into, null);
            }
            try
            {
                return file.Read(offset, into);
            }
            catch (IOException error)
            {
                lock (_lost)
                    return ReadByPage(offset, into, error);
            }
        }

        public void Sync() => file.Sync();

        public void Dispose() => file.Dispose();

        private int ReadByPage(long offset, Span<byte> into, IOException? error)
        {
            var length = (int)Math.Clamp(file.Length - offset, 0, into.Length);
            var lostBefore = _lost.Count;
            for (var at = 0; at < length;)
            {
                var page = (offset + at) / PageFormat.PageSize;
                var count = (int)Math.Min(length - at, ((page + 1) * PageFormat.PageSize) - offset - at);
                if (!TryRead(page, offset + at, into.Slice(at, count)))
                    into.Slice(at, count).Fill(Fill);
                at += count;
            }
            if (error is not null && _lost.Count == lostBefore)
                owner.Note(file.Name, offset / PageFormat.PageSize, error, isLost: false);
            return length;
        }

        private bool TryRead(long page, long offset, Span<byte> into)
        {
            if (_lost.Contains(page))
                return false;
            try
            {
                return file.Read(offset, into) == into.Length;
            }
            catch (IOException error)
            {
                owner.Note(file.Name, page, error, isLost: true);
                _lost.Add(page);
                return false;
            }
        }
    }
}
